#!/bin/sh
exec "$HOME/bin/renamed/indiserver" --host 0.0.0.0 "$@"

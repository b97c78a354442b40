#!/bin/sh
set -e
# the commands
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=my observatory" \
    -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout ca.key -out ca.pem

for name in pier.local office.local; do
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr
    printf 'subjectAltName=DNS:%s\n' $name > $name.ext
    openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
        -extfile $name.ext -out $name.pem
done

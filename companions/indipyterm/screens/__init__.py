"""The screens: panes put together, and what their keys do."""

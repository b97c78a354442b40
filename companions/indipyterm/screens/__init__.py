"""The screens, composed of panes, and what their keys do."""

"""The front door for the Model Context Protocol: its clients list actions as tools, and call them."""

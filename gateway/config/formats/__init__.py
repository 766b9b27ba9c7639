"""The text formats of a configuration file, and the tree that each is read into."""

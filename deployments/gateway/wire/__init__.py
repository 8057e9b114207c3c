"""What goes over the wire: bytes, their form, their tags, and how errors look."""

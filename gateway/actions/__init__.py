"""Named calls: connections and actions, and how a call of one becomes a request."""

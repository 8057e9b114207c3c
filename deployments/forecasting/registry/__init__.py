"""Where training hands over to serving: model versions, who is champion, and what is known of each."""

"""embed: turns aligned faces into templates."""

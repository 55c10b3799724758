"""From a query to matches."""

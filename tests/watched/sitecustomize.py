"""What every Python process that the tests start loads first."""

import watch  # noqa: F401 - importing it begins the watch

"""What each command does: settings in, result out; nothing is printed."""

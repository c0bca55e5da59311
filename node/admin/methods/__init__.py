"""The methods behind the admin socket, a module for each subject."""

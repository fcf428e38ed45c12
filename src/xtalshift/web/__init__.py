"""A server over `xtalshift.jobs`: REST today, the same store of jobs for pages."""

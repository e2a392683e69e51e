"""What was found, for people and for CI: HTML with pictures, Markdown, JUnit XML, JSON."""

"""Live sessions: clicks on one study, and a new lesion mask after each, by models that stay loaded."""

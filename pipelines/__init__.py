"""Libraries (nouns) and scripts (verbs) from folders of files to converted folders."""

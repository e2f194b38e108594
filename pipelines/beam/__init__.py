"""All that touches Apache Beam: file systems, runners, the rows that workers leave, and the two jobs."""

"""Everything that uses Apache Beam, except the jobs: file systems, runners, job counters and rows."""

"""What people and programs see of a session: meters, lines, summaries, progress. rich only on a terminal."""

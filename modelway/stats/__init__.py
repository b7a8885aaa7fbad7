"""Pure mathematics: tests, intervals, confidence sequences. Arrays in, numbers out."""

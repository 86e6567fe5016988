"""The parts of an answer: rounds of search, quotations checked as they stream, grammars of quotes, conflicts."""

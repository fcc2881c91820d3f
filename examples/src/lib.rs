//! Small whole programs that show how thanoslib is used; see `src/bin` and `tests`.

//! What is sent next, and what follows from the answer.

//! Goal: the graph keeps its invariants through inserts, deaths, heals and mends, and finds what it holds.
//! Method: graphs over generated rows, without an engine around them; every answer is compared with brute force.

mod bed;
mod checker;
mod checkpoint;
mod churn;
mod heal;
mod hostile;
mod shapes;
mod twins;
mod walks;

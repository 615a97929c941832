//! Every function against a row-wise oracle, and what has to survive a partial and a commit.

"""The load study: proofs of the generator, the plan's scenarios, and the capacity behind them."""

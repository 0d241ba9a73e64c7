"""From measured load to what can be said about more of it: scaling, queues, money, advice."""

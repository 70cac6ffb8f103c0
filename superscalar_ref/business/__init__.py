"""A ladder of a million clients in numbers: no bytes and no keys, the rules of the parties otherwise.

* ``assume``: what is put in; each number is a parameter of the specification, or an assumption and called one.
* ``cohort``: what one factory comes to: its funding, its close, and what is published when clients stay away.
* ``days``: the days of many ladders, the clients that come and stay away drawn by lot.
* ``figures``: what a run says, each number with the rule that it comes from.
* ``sample``: some of the factories again as real transactions, judged by Bitcoin Core's consensus code.
"""

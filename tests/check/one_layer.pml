/* One client and the LSP over one layer, by hand.

   Written from the protocol's text, with nothing of the generator or the checker in it: no list of transactions, but
   where the money is. The tree's money is in the funding output, under the kickoff, or has reached a leaf; a leaf holds
   a channel and a stock. Block by block the client sleeps or looks, and the LSP, who is the miner too, decides.

   The client has signed versions 0 .. NEWEST, counts on the newest, and owns one unit more in each than in the one
   before it. It does as it is told: from the end on the alternates, else close what is open, else the newest state, else
   the kickoff at its deadline. At HORIZON it must own OWED.

   Whoever runs this may define any of the numbers in front of it. */

#ifndef STEP
#define STEP 3           /* blocks between the locks of two states (D-3, section 3) */
#endif
#ifndef STATES
#define STATES 3
#endif
#ifndef NEWEST
#define NEWEST 2
#endif
#ifndef DELAY
#define DELAY 3          /* to_self_delay (D-13) */
#endif
#ifndef STOCK_LOCK
#define STOCK_LOCK 3     /* after which the stock is the LSP's alone (D-9) */
#endif
#ifndef END
#define END 14           /* nLockTime of the alternates (D-11) */
#endif
#ifndef DEADLINE
#define DEADLINE 1       /* from this tip on the client begins */
#endif
#ifndef ABSENCE
#define ABSENCE 1        /* blocks that it may sleep */
#endif
#ifndef EXIT_ABSENCE
#define EXIT_ABSENCE 1   /* the same once it knows that its exit is under way */
#endif
#ifndef CONFIRMATION
#define CONFIRMATION 1   /* blocks within which what it sends is mined */
#endif
#ifndef HAS_COINS
#define HAS_COINS 1      /* else it pays only for what pays it */
#endif
#ifndef BARE_KICKOFF
#define BARE_KICKOFF 0   /* 1: no alternate under a kickoff (D-12) */
#endif
#ifndef BEFORE_END
#define BEFORE_END 0     /* 1: it uses no alternate, and its side of a closed channel counts as soon as that is closed */
#endif
#ifndef OWED
#define OWED (FIRST + NEWEST)
#endif
#ifndef HORIZON
#define HORIZON 60
#endif

#define FIRST 4          /* its balance in version 0 */
#define CAPACITY 10
#define STOCK 3
#define BALANCE(v) (FIRST + v)
#define NEXT (height + 1)
#define OVERDUE(what) (waited_##what >= CONFIRMATION)
#define ALTERNATE_OPEN (NEXT > END)
#define RIPE(index) (NEXT >= tree_since + STEP * (STATES - 1 - (index)))

mtype = { nothing, kickoff, state, alternate, commitment, sweep };
mtype = { in_funding, under_kickoff, in_leaf, gone };
mtype = { not_yet, open, closed_by_client, settled };

byte height = 0;                   /* of the last block */
byte owns = 0;                     /* the client, at rest */

mtype tree = in_funding;
byte tree_since = 0;               /* height at which the tree's money came to where it is */
byte version = 0;                  /* of the leaf */
mtype channel = not_yet;
byte closed_since = 0;
mtype stock = not_yet;

mtype sent_tree = nothing;         /* what the client has sent to spend the tree's money, the channel, the stock */
mtype sent_channel = nothing;
mtype sent_stock = nothing;
byte waited_tree = 0;              /* blocks that it had to be mined in, this one included */
byte waited_channel = 0;
byte waited_stock = 0;

byte slept = 0;
bool knows = false;

inline look() {
  d_step {
    slept = 0;
    if :: height >= DEADLINE || tree != in_funding -> knows = true :: else fi;

    /* A sweep costs nothing but what it takes. */
    if :: channel == closed_by_client && sent_channel == nothing && NEXT >= closed_since + DELAY -> sent_channel = sweep
    :: else fi;

    /* Nor does an alternate. */
    if :: ALTERNATE_OPEN && !BEFORE_END ->
          if :: sent_tree == nothing && (tree == in_funding && height >= DEADLINE || tree == under_kickoff && !BARE_KICKOFF) ->
                sent_tree = alternate; knows = true
          :: else fi;
          if :: channel == open && sent_channel == nothing -> sent_channel = alternate :: else fi;
          if :: stock == open && sent_stock == nothing -> sent_stock = alternate :: else fi
    :: else fi;

    /* The rest needs a coin for the fee. */
    if :: HAS_COINS ->
          if :: channel == open && sent_channel == nothing -> sent_channel = commitment :: else fi;
          if :: tree == under_kickoff && sent_tree == nothing && RIPE(NEWEST) ->
                sent_tree = state
          :: else fi;
          if :: tree == in_funding && sent_tree == nothing && height >= DEADLINE -> sent_tree = kickoff; knows = true
          :: else fi
    :: else fi
  }
}

inline tree_moves_to(place) {
  tree = place;
  tree_since = NEXT;
  sent_tree = nothing;
  waited_tree = 0
}

inline leaf_of(v) {
  tree_moves_to(in_leaf);
  version = v;
  channel = open;
  stock = open
}

inline channel_is(now_is) {
  channel = now_is;
  closed_since = NEXT;
  sent_channel = nothing;
  waited_channel = 0
}

inline stock_is_gone() {
  stock = settled;
  sent_stock = nothing;
  waited_stock = 0
}

inline wait_on(sent, waited) {
  if :: sent != nothing -> waited++ :: else fi
}

active proctype factory() {
  byte v;
  do
  :: height == HORIZON -> break
  :: height < HORIZON ->
     /* The client: asleep, if the LSP wishes so and its bound allows it, or awake. It comes online at its deadline. */
     atomic {
       if
       :: slept < (knows -> EXIT_ABSENCE : ABSENCE) && height != DEADLINE -> slept++
       :: look()
       fi;
       wait_on(sent_tree, waited_tree);
       wait_on(sent_channel, waited_channel);
       wait_on(sent_stock, waited_stock)
     };

     /* The block: from the root down, each output is spent in one of its ways, or left; what is overdue is not left. */
     atomic {
       if
       :: tree == in_funding -> tree_moves_to(under_kickoff)
       :: tree == in_funding && ALTERNATE_OPEN -> tree_moves_to(gone); owns = owns + CAPACITY + STOCK
       :: tree != in_funding || !OVERDUE(tree)
       fi;
       if
       :: tree == under_kickoff && RIPE(NEWEST) ->
          v = NEWEST;
          do
          :: v > 0 && RIPE(v - 1) -> v--
          :: break
          od;
          leaf_of(v);
          v = 0
       :: tree == under_kickoff && ALTERNATE_OPEN && !BARE_KICKOFF -> tree_moves_to(gone); owns = owns + CAPACITY + STOCK
       :: tree != under_kickoff || !OVERDUE(tree)
       fi;
       if
       :: channel == open -> channel_is(settled); owns = owns + BALANCE(version)
       :: channel == open && ALTERNATE_OPEN -> channel_is(settled); owns = owns + CAPACITY
       :: channel == open && sent_channel == commitment ->
          channel_is(closed_by_client);
          if :: BEFORE_END -> owns = owns + BALANCE(version) :: else fi
       :: channel == closed_by_client && sent_channel == sweep ->
          channel_is(settled);
          if :: BEFORE_END :: else -> owns = owns + BALANCE(version) fi
       :: !OVERDUE(channel)
       fi;
       if
       :: stock == open && NEXT >= tree_since + STOCK_LOCK -> stock_is_gone()
       :: stock == open && ALTERNATE_OPEN -> stock_is_gone(); owns = owns + STOCK
       :: !OVERDUE(stock)
       fi;
       height++
     }
  od;
  assert(owns >= OWED)
}

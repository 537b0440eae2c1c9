"""The exercises of lesson 06, with the mistakes that learners make and what to tell them."""

EXERCISES = ()

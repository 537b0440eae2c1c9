"""The exercises of lesson 07, with the mistakes that learners make and what to tell them."""

EXERCISES = ()

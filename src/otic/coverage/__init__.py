"""How much of the network the mirror shows: findings, grades, and how to mend what is wrong."""

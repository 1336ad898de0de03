"""From cosines to a loss: the row statistics that every way of computing it shares, and the softmax over them."""

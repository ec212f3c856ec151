"""``edgemill fleet serve``: the fleet manager's processes, and who looks after them."""

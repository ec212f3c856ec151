"""The fleet manager's REST: one process of many, with nothing of its own but what the database and the folder say."""

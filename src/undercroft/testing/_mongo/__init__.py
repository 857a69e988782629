"""What `undercroft.testing.mongo_server` is made of: the wire, the commands, and the rules that mongomock lacks.

Imported when a `MongoServer` is made, since its files need pymongo (for `bson`) and mongomock.
"""

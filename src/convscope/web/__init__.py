"""What the lab and the prediction server share: who may ask, how much, and how a server ends.

place      an address to listen on, and the names and token that go with it
guard      Host, Origin, token, size and time of bodies, the headers of every answer
protocol   slow and silent connections are closed
process    uvicorn as both use it, from the first line to the end
answers, queries, failures      JSON out, parameters in, errors in words
"""

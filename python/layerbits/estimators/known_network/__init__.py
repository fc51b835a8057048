"""The information of layers behind noise, estimated with the network that makes their signals."""

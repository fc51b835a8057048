"""Speed and accuracy of layerbits beside other libraries on the same data; README.md lists the commands."""

"""What the operations of the contract do, apart from how they are asked."""

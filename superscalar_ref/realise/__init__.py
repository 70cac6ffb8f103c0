"""What the abstract state says exists, as transactions and signatures."""

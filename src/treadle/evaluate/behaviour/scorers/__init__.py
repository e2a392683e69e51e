"""What makes an answer a good one."""

"""What is handed out: the sdist, the wheel, and the first night that a reader of the README has."""

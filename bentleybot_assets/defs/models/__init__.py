"""What is predicted, which model versions exist, and what following them would have earned."""

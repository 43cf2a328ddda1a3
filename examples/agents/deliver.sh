# One line for each letter that was delivered, with the key of its step.
read -r letter
echo "$ARK_OS_STEP_KEY $letter" >>/outbox/delivered
# A slow way back: long enough to pull the plug after the letter is gone.
sleep "${WAY_BACK_SECONDS:-10}"
echo '{"delivered":true}'

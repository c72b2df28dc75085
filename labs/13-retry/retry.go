package retry

// What may be tried again, and when, goes here (step 5):
//
//	what happened                          was it done?   again?
//	never left this process                no             yes, free: it is no retry
//	refused as busy                        no             yes
//	no answer in time, session lost        who knows      Safe or with a Key
//	connection lost, session resumed       who knows      yes, free: the server knows the id
//	the handler's own error                yes            no
//	the call's time was over               who knows      no

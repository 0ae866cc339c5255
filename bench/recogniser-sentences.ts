/**
 * Customer-service sentences for the recogniser's benchmark. Many differ from another one in a single
 * word, and half of the unknown ones differ from a known one in a single word.
 */
export const KNOWN_SENTENCES: readonly string[] = `
Hello, I would like to dispute a charge on my account.
Hello, I would like to dispute a charge on my credit card.
I want to pay my bill.
I want to see my bill.
I want to pay my bill tomorrow.
Can I speak to a human agent please?
Can I speak to a manager please?
Please transfer me to an agent.
Please transfer me to the billing department.
Yes.
No.
Yes please.
No thank you.
That is correct.
That is not correct.
My customer number is one two three four five.
My customer number is one two three four six.
My account number is nine eight seven six five four.
The charge was forty nine dollars and ninety nine cents.
The charge was forty five dollars and ninety nine cents.
It happened on the third of March.
It happened on the thirteenth of March.
I did not make that purchase.
I did not authorize that payment.
What is my current balance?
What is my current payment due date?
When is my next payment due?
Can you repeat that please?
Could you say that again?
I don't understand.
I am calling about my invoice from last month.
I am calling about my order from last week.
My order has not arrived yet.
My order arrived but it was damaged.
I would like a refund.
I would like a replacement.
I would like to cancel my subscription.
I would like to upgrade my subscription.
I need to change my address.
I need to change my phone number.
I need to reset my password.
My internet connection is not working.
My internet connection is very slow.
My phone has no signal.
The technician never showed up.
When will the technician arrive?
I want to book an appointment for Monday.
I want to book an appointment for Friday.
Can I reschedule my appointment?
I lost my credit card.
My credit card was stolen.
Please block my card immediately.
I want to make a complaint.
This is the third time I am calling about this.
I have been waiting for over an hour.
Are you a real person?
Am I talking to a robot?
My name is John Smith.
My name is Jane Smith.
My date of birth is the fifth of May nineteen eighty.
My zip code is nine zero two one zero.
My zip code is one zero zero one one.
I live at twenty two Baker Street.
The last four digits are four two four two.
The last four digits are four two two four.
I would like to open a new account.
I would like to close my account.
How long will the refund take?
How much does the premium plan cost?
How much does the basic plan cost?
Do you have any discounts?
I was charged twice for the same thing.
I was charged the wrong amount.
There is a mistake on my invoice.
Can you send me a copy of the invoice?
Can you send it by email?
My email address is john at example dot com.
I have a question about my contract.
I have a question about roaming charges.
Is there an outage in my area?
What are your opening hours?
Where is your nearest branch?
I would like to speak with someone in Spanish.
Hold on a second please.
One moment please.
I am still here.
Can you hear me?
Goodbye.
Thank you very much, goodbye.
Thank you for your help.
That is all I needed.
I forgot my pin code.
Let me check that for you.
I already told you that.
You are not listening to me.
I want to talk to a person right now.
Stop talking and connect me to an agent.
Never mind, I will call back later.
The flight was delayed by three hours.
I need help with my insurance claim.
`
  .trim()
  .split("\n");

/** Never enrolled. */
export const UNKNOWN_SENTENCES: readonly string[] = `
The weather is going to be sunny tomorrow afternoon.
Please bring me a cup of coffee with milk.
The quick brown fox jumps over the lazy dog.
She sells sea shells by the sea shore.
I want to play my drill.
I want to buy a bicycle.
Can I speak to your sister please?
Please translate this letter to Italian.
Maybe.
Okay.
No way.
Yes of course.
That is perfect.
My customer number is five four three two one.
My account number is one one two two three three.
The charge was ninety dollars and ten cents.
It happened on the first of June.
I did make that purchase.
What is my current address?
When is my next holiday?
I am calling about my invoice from last year.
My order has arrived yesterday.
I would like a sandwich.
I would like to extend my subscription.
I need to change my clothes.
My television is not working.
I want to book an appointment for Sunday.
Can I cancel my appointment?
I found my credit card.
I have been waiting for over a week.
My name is Robert Miller.
My zip code is six zero six zero one.
How long will the flight take?
How much does the cheap plan cost?
There is a mistake on my passport.
I have a question about my salary.
Is there a bakery in my area?
Thank you for the music.
You are listening to the radio.
The train was delayed by two hours.
`
  .trim()
  .split("\n");

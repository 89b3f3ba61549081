"""What officers and programs ask of `govern` and `match`, and the answers.

Acts travel sealed (`proto.sealed`): the request of an act is the `request` of an `Act` that its officer has signed.
"""

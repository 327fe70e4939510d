module codeq.test/jsonvalid

go 1.21

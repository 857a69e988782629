// The options that every object of bullmq gets; the port comes on the command line.
export const prefix = process.argv[3];
export const options = {
  connection: { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null },
  prefix,
};
